"""Everything that awaits: it commits what the engine decides, tells the bus, and calls the bodies."""
