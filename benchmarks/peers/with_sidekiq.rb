# Sidekiq: the same commands and the same work as start.py and work.py.
require "json"
require "sidekiq"

EVENTS = File.open(ENV.fetch("BENCH_EVENTS"), "a")
LAST = ENV.fetch("BENCH_JOBS", "0").to_i
WIDTH = ENV.fetch("BENCH_WIDTH", "10").to_i
URL = {url: ENV.fetch("BENCH_REDIS")}
Sidekiq.configure_client { |config| config.redis = URL }
Sidekiq.configure_server { |config| config.redis = URL }
Sidekiq.logger.level = Logger::ERROR
COUNTING = Mutex.new
$ended = 0

def monotonic = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)

def unix = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)

def note(kind, number)
  EVENTS.syswrite("#{kind} #{number} #{monotonic} #{unix} #{Process.pid}\n")
end

class Empty
  include Sidekiq::Worker
  def perform(_number)
    ended = COUNTING.synchronize { $ended += 1 }
    note(ended == LAST ? "last" : "first", ended) if ended == 1 || ended == LAST
  end
end

class Stamp
  include Sidekiq::Worker
  def perform(number) = note("stamp", number)
end

class Sleep
  include Sidekiq::Worker
  def perform(ms)
    note("start", ms)
    sleep(ms / 1000.0)
    note("end", ms)
  end
end

def seconds
  started = monotonic
  yield
  (monotonic - started) / 1e9
end

def answer(verb, count, number)
  case verb
  when "one" then seconds { count.times { |n| Empty.perform_async(n) } }
  when "bulk" then seconds { Empty.perform_bulk(Array.new(count) { |n| [n] }) }
  when "sleeps" then Sleep.perform_bulk(Array.new(count) { [number] }) && nil
  when "stamps"
    Array.new(count) do |n|
      sleep(number / 1000.0 * rand(0.5..1.5))
      called = monotonic
      Stamp.perform_async(n)
      called
    end
  when "later"
    now = Time.now.to_f + 1
    times = Array.new(count) { |n| now + number / 1000.0 * (n + rand) }
    times.each_with_index { |at, n| Stamp.perform_at(at, n) }
    times.map { |at| (at * 1e9).to_i }
  end
end

if $PROGRAM_NAME == __FILE__
  if ARGV[0] == "worker"
    exec "sidekiq", "--require", File.expand_path(__FILE__), "--concurrency", WIDTH.to_s, "--queue", "default"
  else
    $stdout.sync = true
    $stdin.each_line do |line|
      verb, *numbers = line.split
      puts JSON.generate(answer(verb, *numbers.map(&:to_i), *([nil] * (2 - numbers.length))))
    end
  end
end
