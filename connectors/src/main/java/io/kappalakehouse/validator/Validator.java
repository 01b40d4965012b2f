package io.kappalakehouse.validator;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;

/**
 * The validity rule. {@code lakehouse.contracts.validation} is its twin in Python, and {@code conformance.jsonl} holds
 * both to it. A record is tested in a fixed order and the first failure is its reason.
 */
public final class Validator {

  private final Contract contract;

  public Validator(Contract contract) {
    this.contract = contract;
  }

  /** The validator of a topic, named without namespace. */
  public static Validator of(String topic) {
    return new Validator(Contracts.of(topic));
  }

  /** The verdict on one record that arrived at a time in epoch milliseconds. Safe for use by many threads. */
  public Verdict validate(byte[] key, byte[] value, long arrivalMs) {
    if (value == null) {
      return Verdict.invalid(Reason.NULL_VALUE);
    }
    if (value.length > Contracts.MAX_VALUE_BYTES) {
      return Verdict.invalid(Reason.TOO_LARGE);
    }
    String text = decode(value);
    if (text == null) {
      return Verdict.invalid(Reason.NOT_UTF8);
    }
    Map<String, Object> parsed;
    try {
      parsed = StrictJson.parseObject(text, Contracts.MAX_DEPTH);
    } catch (StrictJson.NotJson e) {
      return Verdict.invalid(Reason.NOT_JSON);
    }
    Object[] values = new Object[contract.fields().size()];
    String expectedKey = null;
    for (int i = 0; i < values.length; i++) {
      Field field = contract.fields().get(i);
      Object found = parsed.get(field.name());
      if (found == null) {
        if (!field.nullable()) {
          boolean present = parsed.containsKey(field.name());
          return Verdict.invalid(present ? Reason.WRONG_TYPE : Reason.MISSING, field.name());
        }
        continue;
      }
      Object checked = check(field, found, arrivalMs);
      if (checked instanceof Reason reason) {
        return Verdict.invalid(reason, field.name());
      }
      values[i] = checked;
      if (field.name().equals(contract.key())) {
        expectedKey = (String) checked;
      }
    }
    if (key == null || expectedKey == null || !Arrays.equals(key, expectedKey.getBytes(StandardCharsets.UTF_8))) {
      return Verdict.invalid(Reason.KEY_MISMATCH);
    }
    return new Verdict(null, null, Collections.unmodifiableList(Arrays.asList(values)));
  }

  /** The text of strict UTF-8 without byte order mark, else null. */
  private static String decode(byte[] value) {
    if (value.length >= 3 && value[0] == (byte) 0xEF && value[1] == (byte) 0xBB && value[2] == (byte) 0xBF) {
      return null;
    }
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .onMalformedInput(CodingErrorAction.REPORT)
          .onUnmappableCharacter(CodingErrorAction.REPORT)
          .decode(ByteBuffer.wrap(value))
          .toString();
    } catch (CharacterCodingException e) {
      return null;
    }
  }

  /** The field's value, or the {@link Reason} against it. */
  private static Object check(Field field, Object found, long arrivalMs) {
    return switch (field.kind()) {
      case ID -> found instanceof String id ? checkId(id) : Reason.WRONG_TYPE;
      case STRING -> found instanceof String text ? checkAllowed(field, text) : Reason.WRONG_TYPE;
      case INTEGER -> checkInteger(field, found);
      case TIME -> checkTime(field, found instanceof String text ? WireTime.parse(text) : null, arrivalMs);
    };
  }

  private static Object checkId(String id) {
    // A UTF-16 unit takes one to three bytes, so most ids need no encoding to be counted.
    int limit = Contracts.MAX_ID_BYTES;
    boolean fits =
        id.length() * 3 <= limit
            || id.length() <= limit && id.getBytes(StandardCharsets.UTF_8).length <= limit;
    if (id.isEmpty() || !fits) {
      return Reason.OUT_OF_RANGE;
    }
    for (int i = 0; i < id.length(); i++) {
      if (Character.isISOControl(id.charAt(i))) {
        return Reason.OUT_OF_RANGE;
      }
    }
    return id;
  }

  private static Object checkAllowed(Field field, String text) {
    return field.allowed().isEmpty() || field.allowed().contains(text) ? text : Reason.OUT_OF_RANGE;
  }

  private static Object checkInteger(Field field, Object found) {
    if (found == StrictJson.OtherNumber.INTEGER_BEYOND_INT64) {
      return Reason.OUT_OF_RANGE;
    }
    if (!(found instanceof Long number)) {
      return Reason.WRONG_TYPE;
    }
    boolean tooLow = field.minimum() != null && number < field.minimum();
    boolean tooHigh = field.maximum() != null && number > field.maximum();
    return tooLow || tooHigh ? Reason.OUT_OF_RANGE : number;
  }

  private static Object checkTime(Field field, Long moment, long arrivalMs) {
    if (moment == null) {
      return Reason.WRONG_TYPE;
    }
    boolean tooLate = field.notAfterArrival() && moment > arrivalMs + Contracts.MAX_CLOCK_SKEW_MS;
    boolean beyond = moment < Contracts.EARLIEST_MS || moment > Contracts.LATEST_MS;
    return tooLate || beyond ? Reason.OUT_OF_RANGE : moment;
  }
}
