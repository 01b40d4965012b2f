package io.kappalakehouse.validator;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Identity of a record as a number; the twin of {@code lakehouse.contracts.identity}. */
public final class RecordHash {

  private RecordHash() {}

  /**
   * The first 60 bits of SHA-256 over topic (without namespace), 0x00, partition, offset and value bytes. A null value
   * has no bytes.
   */
  public static long of(String topic, int partition, long offset, byte[] value) {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
    digest.update(topic.getBytes(StandardCharsets.UTF_8));
    digest.update(ByteBuffer.allocate(13).put((byte) 0).putInt(partition).putLong(offset).array());
    if (value != null) {
      digest.update(value);
    }
    return ByteBuffer.wrap(digest.digest()).getLong() >>> 4;
  }
}
