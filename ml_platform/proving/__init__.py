"""Proof that gates fire: generated breaks of a user's own data, features, training and service, and what notices."""
