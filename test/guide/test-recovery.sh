# "Testing Recovery" of the recovery guide: the lines are the guide's.

# Test recovery on staging environment
./test_recovery.sh --mode crash --data-dir /tmp/ailee_test
./test_recovery.sh --mode reorg --reorg-depth 3
./test_recovery.sh --mode corruption --corrupt-snapshot
