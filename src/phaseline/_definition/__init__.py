"""What a developer composes, and the plan that it becomes: phases, forks, choices, graphs; nothing here runs any of it."""
