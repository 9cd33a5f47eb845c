# In place of Procedure 2 and of "State root mismatch after recovery": one command
# finds the newest valid snapshot, however many there are, and the file is replaced at
# once, with the node stopped.
sudo systemctl stop ailee-node
./ailee_l2_verify --all --snapshot /var/lib/ailee/l2_snapshots.dat
./ailee_extract_snapshots --newest-valid /var/lib/ailee/l2_snapshots.dat /tmp/newest_valid/
cp /tmp/newest_valid/snapshot_*.dat /var/lib/ailee/l2_snapshots.dat.new &&
sudo chown ailee:ailee /var/lib/ailee/l2_snapshots.dat.new &&
ln /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/l2_snapshots.dat.corrupted &&
sync /var/lib/ailee/l2_snapshots.dat.new &&
mv /var/lib/ailee/l2_snapshots.dat.new /var/lib/ailee/l2_snapshots.dat
sudo systemctl start ailee-node
