"""Questions put to the running lakehouse: what it bears when things break, and what another architecture would cost."""
