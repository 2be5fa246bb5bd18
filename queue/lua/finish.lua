-- finish: jobs ended well. Many in one call; `take` carries the same when there is more to take.
-- ARGV[2] worker  then five for each job: id, attempt, started_at, ttl in ms, result as JSON ("" = none)
-- Returns the ids that this token no longer holds; they are left as they are.
local running = place("list", "running", ARGV[2])
local lost, done = {}, 0
for i = 3, #ARGV, 5 do
  local settled = finish(running, ARGV[2], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
  if settled then done = done + settled else lost[#lost + 1] = ARGV[i] end
end
if done > 0 then count("done", done) end
return lost
