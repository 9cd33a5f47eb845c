# In place of "Cross-Validate with Bitcoin": what is not known is no divergence.
./ailee_get_snapshot_block --bitcoin-rpc http://localhost:8332 --max-divergence 100 /var/lib/ailee/l2_snapshots.dat
