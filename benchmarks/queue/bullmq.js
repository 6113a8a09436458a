// BullMQ on Redis: jobs that do nothing. argv: worker CONCURRENCY | fill JOBS | latency TIMES PAUSE_SECONDS
const modules = process.env.BENCH_BULLMQ + '/node_modules/';
const { Queue, Worker } = require(modules + 'bullmq');
const Redis = require(modules + 'ioredis');
const at = (url) => new Redis(url, { maxRetriesPerRequest: null });
const connection = at(process.env.BENCH_BROKER);
const [order, ...numbers] = process.argv.slice(2);
const now = () => (performance.timeOrigin + performance.now()) / 1e3;

async function work(concurrency) {
  const tally = at(process.env.BENCH_TALLY);
  const done = async (job) => {
    if (job.name === 'told') await tally.rpush('waited', now() - job.data.sentAt);
    else if (job.data.number % 50 === 0) await tally.incr('done');
  };
  const worker = new Worker('q', done, { connection, concurrency, removeOnComplete: { count: 0 } });
  process.on('SIGTERM', async () => { await worker.close(); process.exit(0); });
}

async function send() {
  const queue = new Queue('q', { connection });
  if (order === 'fill') {
    for (let first = 1; first <= Number(numbers[0]); first += 500) {
      const count = Math.min(500, Number(numbers[0]) - first + 1);
      await queue.addBulk(Array.from({ length: count }, (_, i) => ({ name: 'nothing', data: { number: first + i } })));
    }
  } else {
    for (let i = 0; i < Number(numbers[0]); i++) {
      await queue.add('told', { sentAt: now() });
      await new Promise((resolve) => setTimeout(resolve, 1e3 * Number(numbers[1])));
    }
  }
  process.exit(0);
}

if (order === 'worker') work(Number(numbers[0])); else send();
