"""Driving jobs: one protocol to submit, watch, stop and cancel them, whatever engine runs them."""
