"""`chat-finetune`: the command line over the flows."""
