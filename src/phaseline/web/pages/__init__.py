"""The pages of the console, on which people see runs and steer them."""
