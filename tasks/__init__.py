"""One file, one step, one task of the same name: what Prefect adds to the functions of chat_finetune."""
