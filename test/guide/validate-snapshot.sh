# "Validate L2 Snapshot" of the recovery guide.

./ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat
