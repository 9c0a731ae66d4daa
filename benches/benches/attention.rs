//! Paged attention of one layer at the sizes of SmolLM2-135M: 9 heads over 3 of keys and values, 64 numbers each.
//!
//! Every call takes the next of 30 layers, as a forward pass does, so that keys and values come from memory and not
//! from a cache that the call before has warmed.
//!
//! `cargo bench -p veridraft-benches --bench attention`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use veridraft_benches::noise;
use veridraft_kernels::{
    Attention, AttentionConfig, Columns, KvType, LayerPages, PagedRows, Serial, Simd, append, attend,
};

const CONFIG: AttentionConfig = AttentionConfig {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    scale: 0.125,
    rotary_dim: 0,
    window: None,
    softcap: None,
    block_tokens: 16,
};

const LAYERS: usize = 30;

/// `rows` new rows behind `context` cached ones, on one thread.
fn bench(criterion: &mut Criterion, simd: Simd, kv_type: KvType, context: usize, rows: usize) {
    let tokens = context + rows;
    let blocks = tokens.div_ceil(CONFIG.block_tokens);
    let table: Vec<i32> = (0..blocks as i32).rev().collect();
    let stride = (CONFIG.heads + 2 * CONFIG.kv_heads) * CONFIG.head_dim;
    let qkv = noise(tokens * stride);
    let part = |offset| Columns { data: &qkv, stride, offset };
    let check = |start: usize| {
        let positions: Vec<i32> = (start as i32..tokens as i32).collect();
        let slot = |&position: &i32| table[position as usize / 16] * 16 + position % 16;
        let slots: Vec<i32> = positions.iter().map(slot).collect();
        let paged = PagedRows {
            positions: &positions,
            slot_mapping: &slots,
            block_tables: &table,
            blocks_per_table: blocks,
            query_starts: &[0, positions.len() as i32],
            tree: None,
        };
        paged.check(&CONFIG, blocks, None).expect("well-formed rows")
    };
    let layers: Vec<LayerPages> = (0..LAYERS)
        .map(|_| {
            let mut pages = LayerPages::new(&CONFIG, kv_type, blocks);
            append(&CONFIG, &mut pages, &check(0), part(9 * 64), part(12 * 64), None);
            pages
        })
        .collect();
    let checked = check(context);
    let mut output = vec![0.0; rows * CONFIG.heads * CONFIG.head_dim];
    let mut group = criterion.benchmark_group(format!("attention {simd} {kv_type}"));
    group.throughput(Throughput::Bytes((kv_type.block_bytes(&CONFIG) / CONFIG.block_tokens * tokens) as u64));
    let mut layers = layers.iter().cycle();
    group.bench_function(BenchmarkId::new(format!("context {context}"), format!("{rows} rows")), |bencher| {
        bencher.iter(|| {
            let pages = layers.next().expect("a cycle never ends");
            let attention = Attention {
                config: &CONFIG,
                pages,
                rows: &checked,
                queries: part(0),
                cos_sin: None,
                position_bias: None,
            };
            attend(simd, attention, &mut output, &Serial);
        });
    });
}

/// A plain read of as many bytes as the keys and values of one row have in f32: the least time that a row can take.
fn read(criterion: &mut Criterion, context: usize) {
    let numbers = (context + 1) * 2 * CONFIG.kv_heads * CONFIG.head_dim;
    let layers: Vec<Vec<f32>> = (0..LAYERS).map(|_| noise(numbers)).collect();
    let mut layers = layers.iter().cycle();
    let mut group = criterion.benchmark_group("read f32");
    group.throughput(Throughput::Bytes((4 * numbers) as u64));
    group.bench_function(format!("context {context}"), |bencher| {
        bencher.iter(|| {
            // Sums of bits, in columns, so that the compiler may add many at once.
            let mut sums = [0_u32; 64];
            for numbers in layers.next().expect("a cycle never ends").as_chunks::<64>().0 {
                sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum = sum.wrapping_add(number.to_bits()));
            }
            sums
        });
    });
}

fn attention(criterion: &mut Criterion) {
    for context in [256, 1024, 8192] {
        read(criterion, context);
        for kv_type in KvType::ALL {
            for rows in [1, 4, 8] {
                bench(criterion, Simd::detect(), kv_type, context, rows);
            }
        }
    }
    bench(criterion, Simd::detect(), KvType::F32, 0, 512);
    bench(criterion, Simd::Portable, KvType::F32, 1024, 1);
    bench(criterion, Simd::Portable, KvType::F32, 1024, 8);
}

criterion_group!(benches, attention);
criterion_main!(benches);
