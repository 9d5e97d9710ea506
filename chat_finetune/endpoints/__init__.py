"""Endpoints and what is deployed on them: brought up, asked, given traffic, rolled back."""
