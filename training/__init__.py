"""The training core: schedules, segments, keys, the walk and the store; torch only."""
