"""Pure decisions: no await, clock, id, random number, logging or I/O in here."""
