"""The patterns, one flow file each: orchestration only."""
