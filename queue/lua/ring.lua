-- ring: wake one idle worker of a list, now or as soon as there is one.
-- ARGV[2] list
-- Returns nothing.
ring(ARGV[2])
