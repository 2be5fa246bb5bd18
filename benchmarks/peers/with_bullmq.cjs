// BullMQ: the same commands and the same work as start.py and work.py.
const fs = require("fs");
const readline = require("readline");
const { Queue, Worker } = require("bullmq");

const url = new URL(process.env.BENCH_REDIS);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const width = Number(process.env.BENCH_WIDTH || 10);
const last = Number(process.env.BENCH_JOBS || 0);
const events = fs.openSync(process.env.BENCH_EVENTS, "a");
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wall = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n;
let ended = 0;

function note(kind, number) {
  const now = process.hrtime.bigint(); // CLOCK_MONOTONIC, as in Python
  fs.writeSync(events, `${kind} ${number} ${now} ${wall()} ${process.pid}\n`);
}

const tasks = {
  empty() {
    ended += 1;
    if (ended === 1 || ended === last) note(ended === last ? "last" : "first", ended);
  },
  stamp(number) {
    note("stamp", number);
  },
  async sleep(ms) {
    note("start", ms);
    await wait(ms);
    note("end", ms);
  },
};

function worker() {
  const working = new Worker("bench", async (job) => tasks[job.name](job.data.n), { connection, concurrency: width });
  process.on("SIGTERM", () => working.close(true).then(() => process.exit(0)));
}

const seconds = (started) => Number(process.hrtime.bigint() - started) / 1e9;
const commands = {
  async one(jobs, count) {
    const started = process.hrtime.bigint();
    for (let n = 0; n < count; n++) await jobs.add("empty", { n });
    return seconds(started);
  },
  async bulk(jobs, count) {
    const started = process.hrtime.bigint();
    for (let first = 0; first < count; first += 1000) {
      const length = Math.min(1000, count - first);
      await jobs.addBulk(Array.from({ length }, (_, i) => ({ name: "empty", data: { n: first + i } })));
    }
    return seconds(started);
  },
  async stamps(jobs, count, gap) {
    const calls = [];
    for (let n = 0; n < count; n++) {
      await wait(gap * (0.5 + Math.random()));
      calls.push(Number(process.hrtime.bigint()));
      await jobs.add("stamp", { n });
    }
    return calls;
  },
  async later(jobs, count, gap) {
    const now = Date.now() + 1000;
    const times = Array.from({ length: count }, (_, n) => Math.round(now + gap * (n + Math.random())));
    for (const [n, when] of times.entries()) await jobs.add("stamp", { n }, { delay: Math.max(when - Date.now(), 0) });
    return times.map((when) => when * 1e6);
  },
  async sleeps(jobs, count, ms) {
    await jobs.addBulk(Array.from({ length: count }, () => ({ name: "sleep", data: { n: ms } })));
    return null;
  },
};

async function produce() {
  const jobs = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true } });
  await jobs.waitUntilReady();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [verb, ...numbers] = line.split(" ");
    console.log(JSON.stringify(await commands[verb](jobs, ...numbers.map(Number))));
  }
  process.exit(0);
}

if (process.argv[2] === "worker") worker();
else produce();
