package io.kappalakehouse.flink.live;

import java.math.BigInteger;

/** An exact sum of 60-bit record hashes, in two halves that do not overflow before 2^33 of them. */
public class Fingerprint {

  private static final int HALF_BITS = 30;
  private static final long HALF = (1L << HALF_BITS) - 1;

  public long low;
  public long high;

  public void add(long recordHash) {
    low += recordHash & HALF;
    high += recordHash >>> HALF_BITS;
  }

  public void remove(long recordHash) {
    low -= recordHash & HALF;
    high -= recordHash >>> HALF_BITS;
  }

  public void add(Fingerprint other) {
    low += other.low;
    high += other.high;
  }

  /** The sum in decimal digits. */
  @Override
  public String toString() {
    return BigInteger.valueOf(high).shiftLeft(HALF_BITS).add(BigInteger.valueOf(low)).toString();
  }
}
