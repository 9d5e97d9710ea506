"""The page of `chat-finetune chat --web`: server.py, and what the browser gets from it."""
