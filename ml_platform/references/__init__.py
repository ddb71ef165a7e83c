"""References: the only values that pass between assets, and where the latest ones are kept.

They name content by hash and place; reading that content is for the rooms above.
"""
