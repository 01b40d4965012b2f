"""A seeded shop: days of events and a catalogue with history. The same parameters give the same bytes."""
