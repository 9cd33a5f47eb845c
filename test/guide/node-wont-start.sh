# "Node won't start after crash" of the recovery guide, with the lines of the guide.
# Ours: "failed &&", as the comment before it says.

# Check snapshot file permissions
ls -l /var/lib/ailee/l2_snapshots.dat

# Should be readable by ailee user
sudo chown ailee:ailee /var/lib/ailee/l2_snapshots.dat

# Verify snapshot integrity
./ailee_l2_verify --snapshot /var/lib/ailee/l2_snapshots.dat

# If corrupted, restore from backup
failed &&
sudo -u ailee cp /var/lib/ailee/backups/l2_snapshots_*.dat.bak \
                  /var/lib/ailee/l2_snapshots.dat
