"""Measured side by side: `python -m benchmarks [part …]` puts the figures into docs/benchmarks.md.

A part is a program of its own, `python -m benchmarks.<part>`: it prints its tables as Markdown, and tells on
stderr what it does. Contenders take turns in one run, so that what else the machine does hits all of them,
and what is compared are ratios. No test looks at a time.
"""
