package io.kappalakehouse.validator;

import java.time.LocalDate;
import java.time.YearMonth;

/** Event times as written on the wire, read exactly and floored to milliseconds. */
final class WireTime {

  private static final int DATE_TIME_LENGTH = "YYYY-MM-DDTHH:MM:SS".length();
  private static final int MAX_FRACTION = 9;
  private static final int MAX_OFFSET_MINUTES = 18 * 60;
  private static final String SHAPE = "0000-00-00T00:00:00";

  private WireTime() {}

  /**
   * Epoch milliseconds of {@code YYYY-MM-DDTHH:MM:SS[.d{1,9}](Z|±HH:MM)}; null if the text isn't a real time. Digits
   * beyond the millisecond are floored; there is no 24:00, no second 60, no offset beyond ±18:00.
   */
  static Long parse(String text) {
    if (!hasShape(text, 0, SHAPE)) {
      return null;
    }
    int year = number(text, 0, 4);
    int month = number(text, 5, 7);
    int day = number(text, 8, 10);
    int hour = number(text, 11, 13);
    int minute = number(text, 14, 16);
    int second = number(text, 17, 19);
    if (month < 1 || month > 12 || day < 1 || day > YearMonth.of(year, month).lengthOfMonth()) {
      return null;
    }
    if (hour > 23 || minute > 59 || second > 59) {
      return null;
    }
    int at = DATE_TIME_LENGTH;
    long millis = 0;
    if (at < text.length() && text.charAt(at) == '.') {
      int from = ++at;
      while (at < text.length() && isDigit(text.charAt(at))) {
        if (at - from < 3) {
          millis = millis * 10 + (text.charAt(at) - '0');
        }
        at++;
      }
      int digits = at - from;
      if (digits < 1 || digits > MAX_FRACTION) {
        return null;
      }
      for (int i = digits; i < 3; i++) {
        millis *= 10;
      }
    }
    Integer offset = offsetMinutes(text, at);
    if (offset == null) {
      return null;
    }
    long seconds = LocalDate.of(year, month, day).toEpochDay() * 86_400 + hour * 3600 + minute * 60 + second;
    return (seconds - offset * 60L) * 1000 + millis;
  }

  private static Integer offsetMinutes(String text, int at) {
    if (text.length() == at + 1 && text.charAt(at) == 'Z') {
      return 0;
    }
    if (text.length() != at + 6 || !(hasShape(text, at, "+00:00") || hasShape(text, at, "-00:00"))) {
      return null;
    }
    int minutes = number(text, at + 4, at + 6);
    int offset = number(text, at + 1, at + 3) * 60 + minutes;
    if (minutes > 59 || offset > MAX_OFFSET_MINUTES) {
      return null;
    }
    return text.charAt(at) == '-' ? -offset : offset;
  }

  /** Whether the text has digits where the shape has 0 and else the shape's own characters. */
  private static boolean hasShape(String text, int at, String shape) {
    if (text.length() < at + shape.length()) {
      return false;
    }
    for (int i = 0; i < shape.length(); i++) {
      char c = text.charAt(at + i);
      if (shape.charAt(i) == '0' ? !isDigit(c) : c != shape.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  private static boolean isDigit(char c) {
    return c >= '0' && c <= '9';
  }

  private static int number(String text, int from, int to) {
    return Integer.parseInt(text, from, to, 10);
  }
}
