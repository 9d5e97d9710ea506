"""What is kept on the Prefect server, its secrets encrypted: one file, one type of block."""
