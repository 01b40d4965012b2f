"""Replays: rows recomputed from all their events, compared with what is there, swapped in by their owner, undone.

`request` is what somebody asks for, `plan` what it would touch, `store` how far each replay has come (PostgreSQL),
`diff` what would change. `jobs.batch.replay` carries a replay out.
"""
