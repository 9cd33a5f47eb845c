# Procedure 2 of the recovery guide, with the lines of the guide.
# Ours: $LATEST_VALID, which is 12345 in the guide.

# Extract all snapshots
./ailee_extract_snapshots /var/lib/ailee/l2_snapshots.dat /tmp/snapshots/

# List available snapshots
ls -lh /tmp/snapshots/

# Verify each snapshot
for file in /tmp/snapshots/snapshot_*.dat; do
    echo "Verifying $file..."
    ./ailee_l2_verify --snapshot "$file"
done

# Use the latest valid snapshot
cp /tmp/snapshots/snapshot_$LATEST_VALID.dat /var/lib/ailee/l2_snapshots.dat

# Restart node
sudo systemctl restart ailee-node
