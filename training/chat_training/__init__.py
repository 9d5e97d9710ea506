"""Fine-tuning a chat model on conversations: the steps that run on the compute.

Each step is a module with a command line (`python -m chat_training.<step>`): `validate`, `model_import`,
`preprocess`, `finetune`, `convert`. Steps meet in folders only.
"""
