//! Threads that compute gradients side by side.

/// One thread a worker: candle and the kernels see one core each, and do not wait for one another inside an
/// operation.
pub(crate) struct Workers(Vec<rayon::ThreadPool>);

impl Workers {
    /// Starts `count` of them; the error says that the system has no more threads.
    pub(crate) fn new(count: usize) -> Result<Workers, String> {
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..count).map(pool).collect::<Result<_, _>>();
        pools.map(Workers).map_err(|e| format!("cannot start {count} workers: {e}"))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What `work` gives for each worker's number, in their order.
    pub(crate) fn each<T: Send>(&self, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .0
                .iter()
                .enumerate()
                .map(|(number, pool)| scope.spawn(move || pool.install(|| work(number))))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a worker panicked")).collect()
        })
    }
}
