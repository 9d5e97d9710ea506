"""Sweeps: many trials of one fine-tuning run, of which the best is kept.

trials.py        a config, expanded into trials
checks.py        which of them Azure ML can run at all, asked before any is paid for
queue.py         who starts next: pools of nodes and quota, the budget, cheapest first
poller.py        one listing for all of them, again and again
halving.py       who is behind and need not go on
desk.py          one trial: submitted, waited for, read
leaderboard.py   the ranking, its files, and what was worth its money
refs.py          the records that these hand to each other
"""
