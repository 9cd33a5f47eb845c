// Prints orders.txt: keys, and the order in which std::sort of libstdc++ leaves them.
//
//     g++ -O2 main.cc && ./a.out >orders.txt
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

static uint64_t state = 1;

static unsigned number(unsigned below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static void print(const std::vector<unsigned>& keys) {
    struct Record { unsigned key, index; };
    std::vector<Record> records;
    for (unsigned key : keys) records.push_back({key, unsigned(records.size())});
    std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.key < b.key; });
    std::printf("keys");
    for (unsigned key : keys) std::printf(" %u", key);
    std::printf("\norder");
    for (const Record& r : records) std::printf(" %u", r.index);
    std::printf("\n");
}

// killer returns keys that cut off as little as can be, each chosen when std::sort asks
// for it, so that the rest is sorted on a heap (McIlroy, A Killer Adversary for
// Quicksort, 1999). Those from `from` on are then made equal in groups.
static std::vector<unsigned> killer(unsigned n, unsigned from, unsigned group) {
    std::vector<unsigned> keys(n, n), order(n);
    unsigned next = 0, candidate = 0;
    for (unsigned i = 0; i < n; i++) order[i] = i;
    std::sort(order.begin(), order.end(), [&](unsigned a, unsigned b) {
        if (keys[a] == n && keys[b] == n) keys[a == candidate ? a : b] = next++;
        if (keys[a] == n) candidate = a;
        else if (keys[b] == n) candidate = b;
        return keys[a] < keys[b];
    });
    for (unsigned& key : keys)
        if (key > from) key = from + (key - from) / group;
    return keys;
}

int main() {
    for (unsigned n : {2, 15, 16, 17, 18, 20, 33, 64, 100, 257, 600})
        for (unsigned distinct : {1u, 2u, n / 4 + 1, n}) {
            std::vector<unsigned> random, sorted;
            for (unsigned i = 0; i < n; i++) {
                random.push_back(number(distinct));
                sorted.push_back(i * distinct / n);
            }
            print(random);
            print(sorted);
        }
    for (unsigned n : {64, 150, 400, 900})
        for (unsigned from : {n / 5, n / 3}) print(killer(n, from, 3));
}
