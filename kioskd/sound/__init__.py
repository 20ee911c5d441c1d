"""Speech between the line and the speaker: Opus, the jitter buffer, redundancy. Sans-I/O."""
