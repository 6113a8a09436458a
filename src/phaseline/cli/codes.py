"""What the command's exit code says."""

from __future__ import annotations

OK, FAILED, UNUSABLE = 0, 1, 2
EXIT_CODES = f"""exit codes: {OK} done, or all is well; {FAILED} the tables are of another version, or something is not well;
{UNUSABLE} the storage cannot be reached, a template is wrong, or the command line is"""
