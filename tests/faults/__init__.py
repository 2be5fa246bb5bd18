"""Fault tests: real worker processes on real Redis servers, killed, frozen, cut off. Needs Linux (/proc, signals)."""
