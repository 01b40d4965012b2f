"""A mart's day as the tables were at a time, against what they make of it now."""
