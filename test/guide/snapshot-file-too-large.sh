# "Snapshot file growing too large" of the recovery guide, with the lines of the guide.
# Ours: "failed && exit", as the comment after it says.

# Prune old snapshots (keep last N)
./ailee_prune_snapshots --file /var/lib/ailee/l2_snapshots.dat \
                        --keep 1000 \
                        --output /var/lib/ailee/l2_snapshots_pruned.dat

# Verify pruned file
./ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots_pruned.dat
failed && exit

# Replace if valid
sudo systemctl stop ailee-node
mv /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/l2_snapshots_old.dat
mv /var/lib/ailee/l2_snapshots_pruned.dat /var/lib/ailee/l2_snapshots.dat
sudo systemctl start ailee-node
