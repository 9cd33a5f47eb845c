# "Testing Recovery" of the recovery guide, with the lines of the guide.

# Test recovery on staging environment
./test_recovery.sh --mode crash --data-dir /tmp/ailee_test
./test_recovery.sh --mode reorg --reorg-depth 3
./test_recovery.sh --mode corruption --corrupt-snapshot
