"""Proof of every gate: a realistic break that it alone catches, and the clean twin that passes."""
