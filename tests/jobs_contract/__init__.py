"""The contract of the queue, the same on Redis 7, Redis 6.2 and fakeredis. Not named `queue`: nothing may shadow it."""
