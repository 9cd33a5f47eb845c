# "Cross-Validate with Bitcoin" of the recovery guide, with the lines of the guide.

# Get latest block from snapshot
SNAPSHOT_BLOCK=$(./ailee_get_snapshot_block /var/lib/ailee/l2_snapshots.dat)

# Get current Bitcoin block
BITCOIN_BLOCK=$(bitcoin-cli getblockcount)

# Calculate divergence
DIVERGENCE=$((BITCOIN_BLOCK - SNAPSHOT_BLOCK))

echo "Snapshot is $DIVERGENCE blocks behind Bitcoin"

# If divergence is large, may need to re-anchor
if [ $DIVERGENCE -gt 100 ]; then
    echo "Warning: Large divergence detected"
fi
