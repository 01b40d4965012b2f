"""Parity as a live objective: random gold rows recomputed from bronze's raw records by the reference, all day long."""
