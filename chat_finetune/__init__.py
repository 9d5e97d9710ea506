"""Everything that is true of a fine-tuning run without Prefect: configuration, data, Azure ML's verbs."""
