"""A grocery that delivers: which lines of an order come back, and how long does a delivery take?"""
