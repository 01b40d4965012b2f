"""Lambda against Kappa: equal tables, and what each costs."""
