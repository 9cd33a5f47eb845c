# In place of "Snapshot file growing too large": what the node appends meanwhile stays.
./ailee_prune_snapshots --in-place --keep 1000 --file /var/lib/ailee/l2_snapshots.dat
sudo systemctl restart ailee-node
