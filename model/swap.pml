/* The swap: how ailee_prune_snapshots --in-place replaces FILE while others append to it,
 * rename over it or copy over it. The labels are the steps of the code, which the doc comment
 * of internal/swap describes.
 *
 * Modelled are open(2) in its three steps, file leases, a kernel that revokes leases, a kill
 * between any two steps, reused inode numbers, and a last run that completes what the others
 * left. Not modelled are readers, power cuts, limits on retries, and snapshots that are
 * written in parts.
 *
 * Parameters, with -D:
 *   W1, W2    how many snapshots each of two appenders appends
 *   RUNS      prunes, up to two, before the last run, which completes and is not killed
 *   KILLS     how many of them are killed at most
 *   BREAKS    how many leases the kernel revokes at most
 *   RENAME    1: a process renames a file over FILE
 *   COPY_OVER 1: a process copies a file over FILE
 *   NO_ORDER  the order of one appender's snapshots is not checked
 * Checks that can be left out, each of which must lead to a loss:
 *   NO_LOCK NO_PLAN_DIGEST NO_SAME_BYTES NO_VERIFY NO_DRAIN NO_INSERT NO_PLACE
 *   NO_STILL_HELD NO_SETLEASE NO_DIGESTS LATE_RECORD_BACK LONG_LOOKUP
 */
#ifndef W1
#define W1 2
#endif
#ifndef W2
#define W2 0
#endif
#ifndef RUNS
#define RUNS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef BREAKS
#define BREAKS 0
#endif
#ifndef RENAME
#define RENAME 0
#endif
#ifndef COPY_OVER
#define COPY_OVER 0
#endif

/* The content of a file is a sequence of up to 7 snapshots, 4 bits each, the first in the
 * lowest bits. */
#define FIRST 1    /* pruning drops it */
#define KEPT 2
#define APPENDED 3 /* and the following, W1+W2 in all */
#define COPIED 9   /* and the next one */
#define RENAMED 11
#define HEAD(c, n) ((c) & ((1 << (4 * (n))) - 1))
#define REST(c, n) ((c) >> (4 * (n)))
#define JOIN(a, na, b) ((a) | ((b) << (4 * (na))))
#define AT(c, i) (((c) >> (4 * (i))) & 15)
/* The digest of the last snapshot before a place. */
#define BEFORE(c, n) ((n) == 0 -> 0 : AT(c, (n) - 1))

/* Inodes, starting at 1. A number that nothing leads to any more is reused. */
#define INODES 7
int content[INODES + 1];
byte length[INODES + 1];
byte lookups[INODES + 1]; /* looked up by name, i_writecount not yet raised */
byte writers[INODES + 1]; /* i_writecount */
byte lease[INODES + 1];   /* the run that holds it, 0 for none */
bool wanted[INODES + 1];  /* a process waits for it */
byte FILE = 1;            /* the inode that has the name */

/* The second names: the content of inode src after from belongs in inode dst after at. */
#define NAMES 4
#define NONE 0
#define OLD 1
#define BACK 2
typedef SecondName {
	byte kind, leads, src, from, dst, at, gs, gd
}
SecondName name[NAMES];

byte folder;    /* the run that holds the lock */
byte ended;     /* how many runs have ended */
byte busy;      /* how many other processes have not */
byte using[4];  /* the inode that each run has open */
bool refused;   /* by the last run */

/* What the final state is checked against. Sets of snapshots are bit sets. */
short written, excepted;
byte opening[3]; /* the snapshot for which an appender has looked FILE up */
bool renamed, copied, copiedOverRenamed;

/* --- the others ----------------------------------------------------------------- */

#define LOOK_UP(i) i = FILE; lookups[i]++
#define RAISE_WRITECOUNT(i) lookups[i]--; writers[i]++
/* Only the kernel, and a run that checks for it, see that a process waits for a lease. */
#if BREAKS > 0 || defined(NO_SETLEASE)
#define WAIT_FOR_LEASE(i) atomic { wanted[i] = (lease[i] != 0) }
#else
#define WAIT_FOR_LEASE(i)
#endif

/* Whether a name, a descriptor or a lookup leads to an inode. */
#define USED(i) (FILE == i || lookups[i] > 0 || writers[i] > 0 || lease[i] != 0 || \
	name[0].leads == i || name[1].leads == i || name[2].leads == i || name[3].leads == i || \
	using[1] == i || using[2] == i || using[3] == i)

inline allocate(i) {
	i = 1;
	do :: i <= INODES && USED(i) -> i++ :: else -> break od;
	assert(i <= INODES)
}

/* An inode that nothing leads to is freed. */
inline reap(i) {
	i = 1;
	do
	:: i <= INODES -> if :: !USED(i) -> content[i] = 0; length[i] = 0 :: else fi; i++
	:: else -> break
	od;
	i = 0
}

proctype Appender(byte id; byte next; byte count) {
	byte i, k;
	do
	:: 		atomic { LOOK_UP(i); opening[id] = RENAME * next }
		atomic { RAISE_WRITECOUNT(i) }
		WAIT_FOR_LEASE(i)
		/* It is open now, and until it is closed nobody gets a lease. */
		atomic { lease[i] == 0 ->
			assert(length[i] < 7);
			content[i] = JOIN(content[i], length[i], next); length[i]++;
			written = written | (1 << next);
			writers[i]--; opening[id] = 0; i = 0; next++; count--; reap(k);
			if :: count == 0 -> busy--; break :: else fi }
	od;
	next = 0
}

proctype Copier() {
	byte i, k;
	bool after;
	atomic { LOOK_UP(i); after = renamed }
	atomic { RAISE_WRITECOUNT(i) }
	WAIT_FOR_LEASE(i)
	/* O_TRUNC comes last in open(2). */
	atomic { lease[i] == 0 -> content[i] = 0; length[i] = 0; copied = true;
		if :: after || !renamed -> excepted = excepted | written :: else fi;
		copiedOverRenamed = after }
	/* It overwrites what others append meanwhile. */
	atomic {
		do :: k < length[i] -> excepted = excepted | (1 << AT(content[i], k)); k++ :: else -> break od;
		content[i] = COPIED | ((COPIED + 1) << 4); length[i] = 2;
		writers[i]--; i = 0; after = false; reap(k); busy-- }
}

proctype Renamer() {
	byte i;
	atomic {
		allocate(i);
		content[i] = RENAMED; length[i] = 1; FILE = i; i = 0;
		excepted = excepted | written | (1 << opening[1]) | (1 << opening[2]);
		renamed = true;
		reap(i); busy-- }
}

/* lease-break-time has passed. */
#define TAKE_BACK(i) atomic { broken < BREAKS && wanted[i] -> lease[i] = 0; wanted[i] = false; broken++ }
active proctype Kernel() {
	byte broken;
end:	do
	:: TAKE_BACK(1)
	:: TAKE_BACK(2)
	:: TAKE_BACK(3)
	:: TAKE_BACK(4)
	:: TAKE_BACK(5)
	:: TAKE_BACK(6)
	:: TAKE_BACK(7)
	od
}

/* --- the runs ------------------------------------------------------------------- */

inline give_back(i) { lease[i] = 0; wanted[i] = false }

/* A run releases everything when it ends, however it ends. */
inline give_back_all(id, i) {
	i = 1;
	do
	:: i <= INODES -> if :: lease[i] == id -> give_back(i) :: else fi; i++
	:: else -> break
	od;
	i = 0
}

inline over(id, i) {
	give_back_all(id, i);
	if :: folder == id -> folder = 0 :: else fi;
	using[id] = 0; ended++; reap(i)
}

/* A run can be killed at any step, except for the last run. */
byte kills;
#define STEP if :: me <= RUNS && kills < KILLS -> kills++; goto DONE :: true fi;
#define OR_KILLED :: me <= RUNS && kills < KILLS -> kills++; goto DONE

/* While a lease is held and cannot be revoked, what is read does not change between one step
 * and the next, so they are a single step. */
#if BREAKS > 0
#define UNDER_LEASE(step) } step: atomic { STEP
#else
#define UNDER_LEASE(step) step: skip;
#endif

/* No lookup takes as long as the watch lasts. */
#ifdef LONG_LOOKUP
#define LOOKED_UP
#else
#define LOOKED_UP && lookups[name[n].src] == 0
#endif

#ifdef NO_DIGESTS
#define SAME_BEFORE(i, place, g) (length[i] >= place)
#else
#define SAME_BEFORE(i, place, g) (length[i] >= place && BEFORE(content[i], place) == g)
#endif

/* The newest second name, NAMES if there is none. First come names that were not exchanged,
 * then one that ends in FILE. A name is older than another one that has its dst as src. */
inline newest(n, i, j, k) {
	n = 0; i = NAMES; j = 0;
	do
	:: n < NAMES ->
		if
		:: name[n].kind == NONE
		:: else ->
			k = (name[n].kind == BACK -> 2 : 1);
			if
			:: name[n].kind == OLD && name[n].leads == name[n].dst -> k = 4
			:: name[n].dst == FILE && (name[n].kind == OLD || name[n].leads == name[n].src) -> k = 3
			:: name[n].src == FILE && name[n].kind == BACK && name[n].leads == name[n].dst -> k = 3
			:: else ->
				if
				:: (n != 0 && name[0].kind != NONE && name[0].src == name[n].dst) ||
				   (n != 1 && name[1].kind != NONE && name[1].src == name[n].dst) ||
				   (n != 2 && name[2].kind != NONE && name[2].src == name[n].dst) ||
				   (n != 3 && name[3].kind != NONE && name[3].src == name[n].dst) -> k = 0
				:: else
				fi
			fi;
			if :: i == NAMES || k > j -> i = n; j = k :: else fi
		fi;
		n++
	:: else -> break
	od;
	n = i; i = 0; j = 0; k = 0
}

inline remove(n) {
	name[n].kind = NONE; name[n].leads = 0; name[n].src = 0; name[n].from = 0;
	name[n].dst = 0; name[n].at = 0; name[n].gs = 0; name[n].gd = 0
}

inline forget() {
	f = 0; pf = 0; pl = 0; x = 0; lx = 0; s = 0; ns = 0; d = 0; i = 0; j = 0; k = 0; place = 0; using[me] = 0; reap(i)
}

proctype Run(byte me) {
	byte f, pl, lx, ns, n, d, i, j, k, place;
	int pf, x, s;
	bool inserting, completed;

LOCK:	atomic {
#ifndef NO_LOCK
		folder == 0 &&
#endif
		(me <= RUNS || ended == RUNS) -> folder = me }

FINISH:	atomic { STEP
		forget(); inserting = false;
		newest(n, i, j, k);
		if
		:: n == NAMES -> n = 0;
			if
			:: me > RUNS || completed -> goto DONE
			:: else -> completed = true; goto PLAN
			fi
		:: n < NAMES && name[n].leads == name[n].src -> goto DRAIN
		:: n < NAMES && name[n].leads != name[n].src ->
			if
			:: name[n].kind == OLD && name[n].leads == name[n].dst -> remove(n); goto FINISH
			:: name[n].kind == OLD && name[n].leads != name[n].dst && FILE == name[n].dst -> goto LEASE_DISPLACED
			:: name[n].kind == BACK && name[n].leads == name[n].dst && FILE == name[n].src -> goto LEASE_DISPLACED
			:: else -> goto REFUSE
			fi
		fi }

	/* f is FILE, whose first pl snapshots, pf, are planned. The temporary file is x, lx long. */
PLAN:	atomic { STEP
		forget();
		f = FILE; using[me] = f; pf = content[f]; pl = length[f];
		if
		:: pl == (AT(pf, 0) == FIRST -> 1 : 0) -> goto DONE /* nothing to keep */
		:: else
		fi }
COPY:	atomic { STEP
		k = (AT(pf, 0) == FIRST -> 1 : 0);
		if
		:: length[f] < pl -> goto AGAIN
		:: length[f] >= pl && HEAD(content[f], pl) != pf ->
#ifdef NO_PLAN_DIGEST
			pf = HEAD(content[f], pl)
#else
			goto AGAIN
#endif
		:: else
		fi;
		if
		:: !inserting -> x = REST(pf, k); lx = pl - k
		:: inserting ->
			x = JOIN(HEAD(pf, place), place, s); lx = place + ns;
			i = place;
			do
			:: i < pl ->
				j = 0;
				do :: j < ns && AT(s, j) != AT(pf, i) -> j++ :: else -> break od;
				if :: j == ns -> x = JOIN(x, lx, AT(pf, i)); lx++ :: else fi;
				i++
			:: else -> break
			od
		fi;
		i = 0; j = 0; k = 0; s = 0; ns = 0; place = 0 }
LEASE_OLD: atomic {
		if
		OR_KILLED
		:: writers[f] == 0 && lease[f] == 0 -> lease[f] = me
		fi }
SAME_FILE: atomic { STEP
		if :: FILE != f -> goto AGAIN :: else fi;
	UNDER_LEASE(SAME_BYTES)
#ifndef NO_SAME_BYTES
		if :: length[f] < pl || HEAD(content[f], pl) != pf -> goto AGAIN :: else fi;
#endif
	UNDER_LEASE(TAIL)
		if :: length[f] > pl -> ns = length[f] - pl; s = REST(content[f], pl) :: else fi;
	UNDER_LEASE(TAIL_STILL_HELD)
#ifndef NO_STILL_HELD
		if :: lease[f] != me -> ns = 0; s = 0; goto LEASE_OLD :: else fi;
#endif
		pf = JOIN(pf, pl, s); pl = pl + ns; x = JOIN(x, lx, s); lx = lx + ns; s = 0; ns = 0 }
	/* No other process has seen the temporary file yet: its inode is made with the name. */
LEASE_NEW: atomic { STEP
		if
		:: lease[f] == me && writers[f] > 0 -> give_back(f); goto LEASE_OLD
		:: true
		fi;
		allocate(d);
		content[d] = x; length[d] = lx; lease[d] = me;
NAME:		n = 0;
		do :: n < NAMES && name[n].kind != NONE -> n++ :: else -> break od;
		assert(n < NAMES);
		name[n].kind = OLD; name[n].leads = d; name[n].src = f; name[n].from = pl; name[n].dst = d; name[n].at = lx;
		name[n].gs = BEFORE(pf, pl); name[n].gd = BEFORE(x, lx);
		pf = 0; pl = 0; x = 0; lx = 0; d = 0 }
	atomic { STEP
		if :: FILE != f -> give_back(name[n].leads); remove(n); goto AGAIN :: else fi }
EXCHANGE: atomic { STEP
		k = FILE; FILE = name[n].leads; name[n].leads = k; k = 0;
		/* The source of an insertion is checked again. */
		i = 1;
		do
		:: i <= INODES -> if :: lease[i] == me && i != f && i != FILE -> give_back(i) :: else fi; i++
		:: else -> break
		od;
		i = 0;
#ifdef NO_VERIFY
		if :: name[n].leads != name[n].src -> remove(n) :: else fi;
#endif
		skip }
VERIFY:	goto FINISH; /* what the name leads to says what to do */

AGAIN:	atomic {
		if :: lease[f] == me -> give_back(f) :: else fi;
		if :: inserting -> give_back_all(me, i); goto FINISH :: else -> goto PLAN fi }

	/* src of the name n is drained. */
DRAIN:	atomic {
		forget();
		using[me] = name[n].src;
#ifdef NO_DRAIN
		goto REMOVE;
#endif
		skip }
LEASE_SRC: atomic {
		if
		OR_KILLED
		:: lease[name[n].src] == me || (writers[name[n].src] == 0 && lease[name[n].src] == 0) -> lease[name[n].src] = me
		fi;
		/* If the new file is FILE and no other process has it open, it is held if that succeeds at once. */
HOLD_NEW:	if
		:: FILE == name[n].dst && writers[FILE] == 0 && lease[FILE] == 0 -> lease[FILE] = me
		:: true
		fi }
	/* F_SETLEASE takes the lease again, or reports that there is a writer. */
LET_THROUGH: atomic { STEP
		if
		:: writers[name[n].src] > 0 -> if :: lease[name[n].src] == me -> give_back(name[n].src) :: else fi; goto LEASE_SRC
		:: else -> lease[name[n].src] = me
		fi;
	UNDER_LEASE(LOOK)
		if :: !SAME_BEFORE(name[n].src, name[n].from, name[n].gs) -> goto LEASE_DISPLACED :: else fi;
	UNDER_LEASE(READ)
		if
		:: length[name[n].src] > name[n].from -> ns = length[name[n].src] - name[n].from; s = REST(content[name[n].src], name[n].from)
		:: else -> ns = 0; s = 0
		fi;
	UNDER_LEASE(STILL_HELD)
#ifndef NO_STILL_HELD
		if :: lease[name[n].src] != me -> ns = 0; s = 0; goto LEASE_SRC :: else fi;
#endif
		if :: ns == 0 -> goto RELEASE_NEW :: else fi }
PLACE:	atomic { STEP
		d = FILE; using[me] = d;
		if
		:: !SAME_BEFORE(d, name[n].at, name[n].gd) -> goto REFUSE
		:: else ->
			if
			:: length[d] >= name[n].at + ns && HEAD(REST(content[d], name[n].at), ns) == s -> goto RECORD
			:: lease[d] == me && d == name[n].dst && length[d] == name[n].at -> skip
			:: else -> goto INSERT
			fi
		fi }
CARRY:	atomic { STEP
		content[d] = JOIN(content[d], length[d], s); length[d] = length[d] + ns; assert(length[d] <= 7);
#if !defined(NO_PLACE) && !defined(NO_INSERT)
		goto PLACE;
#endif
		skip }
RECORD:	atomic { STEP
		name[n].from = name[n].from + ns; name[n].at = name[n].at + ns; name[n].dst = d;
		name[n].gs = AT(s, ns - 1); name[n].gd = name[n].gs;
		d = 0; ns = 0; s = 0; using[me] = name[n].src; reap(i);
		goto LET_THROUGH }

	/* FILE up to the place, s, and the rest of FILE without s. The source keeps its name. */
INSERT:	atomic { STEP
#ifdef NO_INSERT
		goto CARRY;
#endif
		place = name[n].at; inserting = true;
		if :: lease[d] == me -> give_back(d) :: else fi;
		f = d; d = 0; pf = content[f]; pl = length[f];
		if :: !SAME_BEFORE(f, name[n].at, name[n].gd) -> goto REFUSE :: else fi;
		goto COPY }

RELEASE_NEW: atomic { STEP
		i = 1;
		do
		:: i <= INODES -> if :: lease[i] == me && i != name[n].src -> give_back(i) :: else fi; i++
		:: else -> break
		od;
		i = 0 }
WATCH:	atomic {
		if
		OR_KILLED
#ifdef NO_SETLEASE
		:: wanted[name[n].src] -> goto HOLD_NEW
		:: !wanted[name[n].src] LOOKED_UP -> skip
#else
		:: writers[name[n].src] > 0 -> goto HOLD_NEW
		:: writers[name[n].src] == 0 LOOKED_UP -> lease[name[n].src] = me
#endif
		fi;
	UNDER_LEASE(WATCH_LOOK)
		if
		:: length[name[n].src] != name[n].from || !SAME_BEFORE(name[n].src, name[n].from, name[n].gs) -> goto HOLD_NEW
		:: else
		fi }
REMOVE:	atomic { STEP
		give_back(name[n].src); remove(n); goto FINISH }

	/* BACK: the inode that the name leads to must become FILE again. */
LEASE_DISPLACED: atomic {
		forget();
		d = name[n].leads; using[me] = d;
		if
		OR_KILLED
		:: lease[d] == me && writers[d] > 0 -> give_back(d); goto LEASE_DISPLACED
		:: (lease[d] == 0 || lease[d] == me) && writers[d] == 0 -> lease[d] = me
		fi;
	UNDER_LEASE(BOUNDARY)
		lx = length[d]; k = BEFORE(content[d], lx);
	UNDER_LEASE(BOUNDARY_STILL_HELD)
		if :: lease[d] != me -> goto LEASE_DISPLACED :: else fi }
#ifdef LATE_RECORD_BACK
	atomic { STEP
		if
		:: name[n].kind == OLD -> i = FILE; FILE = d; name[n].leads = i
		:: else -> goto RECORD_BACK
		fi }
	atomic { STEP
		name[n].kind = BACK; name[n].src = i; name[n].from = name[n].at; name[n].gs = name[n].gd;
		name[n].dst = d; name[n].at = lx; name[n].gd = k;
		give_back_all(me, i); goto FINISH }
#endif
RECORD_BACK: atomic { STEP
		if
		:: name[n].kind == OLD -> /* the place in the current FILE */
			if :: !SAME_BEFORE(FILE, name[n].at, name[n].gd) -> goto REFUSE :: else fi;
			name[n].src = FILE; name[n].kind = BACK;
			name[n].from = name[n].at; name[n].gs = name[n].gd; name[n].dst = d
		:: else /* recorded by a run that was killed: dst may have grown since */
		fi;
		name[n].at = lx; name[n].gd = k; lx = 0; k = 0; d = 0 }
EXCHANGE_BACK: atomic { STEP
		if :: FILE != name[n].src -> goto REFUSE :: else fi }
	atomic { STEP
		i = FILE; FILE = name[n].leads; name[n].leads = i; give_back_all(me, i); goto FINISH }

REFUSE:	atomic { refused = refused || me > RUNS; goto DONE }
	/* Killed, or at its end: the kernel releases what it holds. */
DONE:	atomic { over(me, i); forget(); n = 0; completed = false; inserting = false }
}

/* --- what must be true at the end ------------------------------------------------ */

inline look_at(c, n) { /* the snapshots of a file: each at most once, in order */
	i = 0;
	do
	:: i < n ->
		t = AT(c, i);
		assert(t != 0);
		assert(t != FIRST || i == 0);
		assert((found & (1 << t)) == 0); /* once */
		found = found | (1 << t);
#ifndef NO_ORDER
		assert(t < APPENDED || t >= APPENDED + W1 || (found & ((1 << (APPENDED + W1)) - (1 << (t + 1)))) == 0);
		assert(t < APPENDED + W1 || t >= COPIED || (found & ((1 << COPIED) - (1 << (t + 1)))) == 0);
#endif
		i++
	:: else -> break
	od
}

init {
	byte i, j, t;
	short found, all;
	atomic {
		content[1] = FIRST | (KEPT << 4); length[1] = 2;
		busy = (W1 > 0) + (W2 > 0) + RENAME + COPY_OVER;
		if :: W1 > 0 -> run Appender(1, APPENDED, W1) :: else fi;
		if :: W2 > 0 -> run Appender(2, APPENDED + W1, W2) :: else fi;
		if :: RENAME -> run Renamer() :: else fi;
		if :: COPY_OVER -> run Copier() :: else fi;
		run Run(1);
		if :: RUNS > 1 -> run Run(2) :: else fi;
		run Run(RUNS + 1) }
	atomic { busy == 0 && ended == RUNS + 1 ->
		/* What replaced FILE is there, from its first byte, and nothing else of others. */
		all = written & (~excepted);
		look_at(content[FILE], length[FILE]);
		if
		:: !refused ->
			assert(name[0].kind == NONE && name[1].kind == NONE && name[2].kind == NONE && name[3].kind == NONE);
			assert((found & all) == all);
			if
			:: copied && (copiedOverRenamed || !renamed) ->
				assert((content[FILE] & 255) == (COPIED | ((COPIED + 1) << 4)));
				assert((found & ((1 << FIRST) | (1 << KEPT) | (1 << RENAMED))) == 0)
			:: renamed && !copiedOverRenamed ->
				assert(AT(content[FILE], 0) == RENAMED);
				assert((found & ((1 << FIRST) | (1 << KEPT) | (1 << COPIED) | (2 << COPIED))) == 0)
			:: else -> assert(found & (1 << KEPT))
			fi
		:: else ->
			assert(renamed || copied);
			/* Each is in FILE or in a file that has a name. */
			j = 0;
			t = found;
			do
			:: j < NAMES ->
				if
				:: name[j].kind != NONE ->
					i = 0;
					do :: i < length[name[j].leads] -> found = found | (1 << AT(content[name[j].leads], i)); i++ :: else -> break od
				:: else
				fi;
				j++
			:: else -> break
			od;
			assert((found & all) == all);
			if
			:: copied && (copiedOverRenamed || !renamed) -> assert(found & (1 << COPIED)); assert(found & (2 << COPIED))
			:: renamed && !copiedOverRenamed -> assert(found & (1 << RENAMED))
			:: else
			fi
		fi }
}
