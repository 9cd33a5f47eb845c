# In place of Procedure 1: the backup is verified before it replaces anything, which is
# kept, and a node is never started on a file that it would damage.
sudo systemctl stop ailee-node
./ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat
failed &&
./ailee-restore --snapshot-only
./ailee_prune_snapshots --in-place --keep all --file /var/lib/ailee/l2_snapshots.dat
sudo systemctl start ailee-node
