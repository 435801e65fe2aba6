//! What the core costs, in time and in heap allocations: `cargo bench -p conformance --bench core`. How many instructions, which
//! does not depend on the machine's mood, is told by `--bench instructions`.

use divan::{AllocProfiler, Bencher};

mod cases;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = cases::CASES.iter().map(|case| case.name))]
fn core(bencher: Bencher<'_, '_>, name: &str) {
    let case = cases::CASES.iter().find(|case| case.name == name).expect("names come from the cases");
    let operate = (case.make)();
    bencher.counter(divan::counter::ItemsCount::new(case.batch)).bench_local(operate);
}
